"""What becomes of invoices: the audit trail, approvals by signatures, states, payments and open items."""
