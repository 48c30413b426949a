from steelscan.strip import map_ahead


def test_results_of_work_ahead_are_in_order_and_the_work_stops_early() -> None:
    done: list[int] = []

    def work(item: int) -> int:
        done.append(item)
        return item * item

    assert [result() for result in map_ahead(work, range(40), 2)] == [at * at for at in range(40)]
    done.clear()
    started = map_ahead(work, range(1000), 2)
    next(started)
    started.close()
    assert len(done) < 40
