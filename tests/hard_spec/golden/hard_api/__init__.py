"""Hard "cases" \\ everywhere: requests and responses as values, without any I/O. Generated from the contract."""
