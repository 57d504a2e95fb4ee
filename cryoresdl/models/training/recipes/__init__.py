"""How every shipped model is made: one TOML file each, and the command that runs it whole."""
