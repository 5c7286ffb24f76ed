"""From a price and a quantity to a charge. The price models are in schemas/catalog/prices, one module each."""
