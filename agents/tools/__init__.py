"""What a model can do: the contract, the box that guards it, and the tools by what they touch."""
