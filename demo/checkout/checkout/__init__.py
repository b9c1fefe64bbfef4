"""The web shop's checkout: prices a basket, charges the card, writes the order down."""
