"""How a fix reaches production in phases, and the gate that decides whether it stays there."""
