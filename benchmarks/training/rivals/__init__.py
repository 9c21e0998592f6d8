"""Others' learners on the same examples. Each script runs alone, in an environment of its own, and knows no Martlet.

A script gets the path of the examples (.npy: int64[n, 1 + fields], the label before the ids) and its batch size. For
each line on its standard input it learns all of them once and prints the wall and processor seconds that this took.
"""
