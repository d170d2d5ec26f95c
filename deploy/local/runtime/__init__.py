"""What every part of the local stack needs: folders, locks, ports, processes, the env file."""
