from fr_prep.verify.problems import Problem, ProblemLog


def test_a_problem_is_one_line_with_all_that_is_known_of_its_place():
    assert str(Problem(file="a", problem="is missing")) == "a: is missing"
    problem = Problem(file="a", record=3, offset=120, key=17, problem="expected 1, received 2")
    assert str(problem) == "a: record 3 at byte 120 (key 17): expected 1, received 2"
    assert str(Problem(file="a", offset=0, key=0, problem="x")) == "a: at byte 0 (key 0): x"


def test_problems_come_in_the_order_of_files_and_places_whatever_order_they_are_added_in():
    problems = [Problem(file=file, record=record, problem="x") for file in "acb" for record in (None, 0, 2, 11)]
    for step in (1, -1):
        log = ProblemLog(problems[::step])
        assert log.in_order(["c", "b"]) == [*problems[4:], *problems[:4]]


def test_the_first_of_each_file_are_kept_and_all_are_counted():
    log = ProblemLog()
    for first in (50, 0, 25):
        log.add(Problem(file="a", record=record, problem="x") for record in range(first, first + 25))
    assert log.num_problems == 75
    assert [problem.record for problem in log.in_order([])] == list(range(20))
