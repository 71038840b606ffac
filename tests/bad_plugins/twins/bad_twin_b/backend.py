"""A backend that loads and is never called."""


class Backend:
    def attend(self, q_BTHD, k_BSGD, v_BSGD, *, mask):
        return q_BTHD

    def attend_cached(self, q_BTHD, k_BTGD, v_BTGD, cache, *, mask):
        return q_BTHD
