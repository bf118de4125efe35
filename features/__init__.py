"""What the brain knows and remembers: profile and signals through Feast, the ledger through SQL."""

# Feast, once imported, has this library keep every count in files of a temporary folder; it decides on its own import.
import prometheus_client as prometheus_client
