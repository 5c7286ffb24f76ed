"""What the contract of a partner changes on its bill: own prices, discounts, least and greatest amounts.

Pure functions of the catalog, a draft and the documents that were issued before. docs/contracts.md describes the terms.
"""
