"""Close, issue, documents, and the proof that they come out again. Imports `billing`, `lake` and `schemas`."""
