"""A worker is asked whether its systems answer."""

from domain import contract
from domain.examination import Answer, Counterpart, Examination, ExaminationRequest
from domain.findings import Subject
from runtime.version import VERSION
from tests.system import System
from tests.workflows.samples import an_id


async def test_a_worker_whose_systems_all_answer_says_so(system: System) -> None:
    handle = await system.client.start_workflow(
        contract.EXAMINATION.name,
        ExaminationRequest(),
        id=f"examination-{an_id()}",
        task_queue=system.task_queue,
        result_type=Examination,
    )
    system.started.append(system.client.get_workflow_handle(handle.id))

    found = await handle.result()

    assert (found.version, found.policy_version) == (VERSION, "test")
    assert sorted(found.answers, key=lambda answer: answer.counterpart) == [
        Answer(counterpart=counterpart) for counterpart in sorted({*Counterpart} - {Counterpart.MARKETPLACE})
    ]
    assert [(finding.subject, finding.known) for finding in found.findings] == [(subject, True) for subject in Subject]
