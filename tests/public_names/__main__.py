"""`python -m tests.public_names`: write all lists anew, and tell which names went. Needs a Kafka, as the tests do."""

from tests.kafka.finding import any_kafka
from tests.public_names import kafka, outputs, program
from tests.public_names.lists import committed, write


def main() -> None:
    lists = program.lists() | outputs.lists()
    with any_kafka() as bootstrap:
        lists |= kafka.lists(bootstrap)
    for subject, made in lists.items():
        gone = sorted(set(committed(subject)) - set(made))
        for name in gone:
            print(f"{subject}: no longer there, which breaks its users: {name}")
        write(subject, made)


if __name__ == "__main__":
    main()
