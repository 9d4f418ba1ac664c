"""What the chapter of the arena measures, and only its notebook needs: rounds, values of claims, tables, pictures."""
