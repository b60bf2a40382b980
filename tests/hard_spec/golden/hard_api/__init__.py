"""Hard "cases" \\ everywhere: requests and answers as values, without any I/O. Generated from the contract."""
