"""Backups of a data directory, taken while everything runs.

What has to be true of a cut through log, journals, catalog and artifacts so that it can be started from:

- the log reaches at least as far as the journals, which say what was learned and judged of it;
- the catalog knows each version that the log names, or a number would be given twice;
- the journals know each version and each batch of evidence that the catalog has taken: the trainer writes both down
  before it sends them, and after a restart sends them again under the same digest and number;
- the journal reaches at least as far as each checkpoint, and the dead letters no further than the journal;
- the artifact store holds what the versions of the catalog name.

The first three together allow one moment only, so there is one: for some milliseconds nobody writes to the catalog
(`martlet.backup.catalog_cut`), and meanwhile the ends of all partitions are noted, dead letters first, then journals,
then the log. Everything noted is append-only and the catalog is read from a snapshot of that moment, so the copying
itself takes its time. Whole files (checkpoints) are opened before the moment, artifacts are copied after it.

A backup is a folder that is laid out as a data directory, and `backup.json` (see `martlet.backup.record`).
"""
