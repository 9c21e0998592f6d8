"""Values and events that would teach something wrong: what is set right, left out, counted."""
