"""What the brain knows about its subjects: profile and signals through Feast, the ledger through SQL."""

# This library decides on its own import where it keeps counts. Once Feast is imported, it keeps them in files of a
# temporary folder, so it must be imported first.
import prometheus_client as prometheus_client
