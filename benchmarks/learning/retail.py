def retail(tested, seed):
    return None
