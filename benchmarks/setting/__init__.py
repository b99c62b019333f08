"""What benchmarks share: inputs, projects, networks, timing, the line on the machine."""
