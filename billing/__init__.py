"""From rollups to invoices: catalog, pricing, close, issue, documents, verify. Imports only `schemas`."""
