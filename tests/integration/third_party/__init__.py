"""What other projects' clients are asked to do. Each file is a script for the interpreter that has the client."""
