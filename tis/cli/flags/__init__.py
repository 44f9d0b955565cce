"""The flags themselves, one module per subject; `tis.cli.flag_table` puts them together."""
