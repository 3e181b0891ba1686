class Net:
    def __init__(self, scale):
        self.scale = scale

    def __call__(self, values):
        return values + self.scale
