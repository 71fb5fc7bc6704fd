"""The report: what studies, evaluations, audits and cards found, as one page for a reader, with the same as JSON and CSV."""
