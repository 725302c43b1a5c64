"""stub"""
def measure(centre, scale):
    return iter(())
