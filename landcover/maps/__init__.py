"""What comes after a map: tidied, measured, compared with another year, handed on."""
