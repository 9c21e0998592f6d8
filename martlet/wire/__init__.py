"""Between messages and values: the only place, beside clients and servicers, that knows the generated stubs."""
