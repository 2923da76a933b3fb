"""Programs of users and of operators, as far as nodes are asked by them: each says exactly what it was answered."""
