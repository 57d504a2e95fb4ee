"""What the networks see of a map: band energies against noise, and the named layout of their inputs."""
