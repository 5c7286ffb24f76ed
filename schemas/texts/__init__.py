"""The texts of invoice documents, one JSON file per language, and numbers and dates as the language writes them."""
