"""The queue, the stage runner and the controller: what moves an incident when no one types."""
