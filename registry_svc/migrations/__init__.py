"""How a catalog's database becomes what this release needs: a step a module, in `versions`, each with its way back."""
