"""An independent reckoning of what partners owe, and what it finds in the product."""
