def run(centre, scale):
    return iter(())
