class Net:
    def __init__(self, scale):
        self.scale = scale
        self.training = True

    def eval(self):
        self.training = False
        return self

    def __call__(self, values):
        return values * self.scale

    def __len__(self):
        return 1
