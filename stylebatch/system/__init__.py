"""What every room needs of the operating system: files, processes, cores, the log."""
