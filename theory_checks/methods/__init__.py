"""What claims compute on an instance: solutions of the programs, compared with the truth and with the theorems."""
