"""Evidence: tests that may be looked at after every unit and still keep their error bound. Pure; numpy only."""
