"""How packets travel between processes: which socket, which path, what happens when a peer is slow or gone."""
