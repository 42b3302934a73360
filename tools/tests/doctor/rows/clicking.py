"""Images, labeling configs, models, and the click itself."""

from __future__ import annotations

from tools.tests.doctor.bench import Bench
from tools.tests.doctor.rows.means import delete_tasks, only_task
from tools.tests.doctor.rows.row import row

# 5. Images


@row("image-no-host", "image")
def backend_that_does_not_know_label_studio(bench: Bench) -> None:
    bench.backend.trouble.label_studio_url, bench.backend.trouble.api_key = "", ""


@row("image-no-host", "image")
def label_studio_url_without_a_scheme(bench: Bench) -> None:
    bench.backend.trouble.api_key = ""
    bench.backend.trouble.label_studio_url = bench.studio.server.url.replace("http://127.0.0.1", "localhost")


@row("image-missing", "image")
def an_upload_that_is_gone(bench: Bench) -> None:
    for file in (bench.studio.server.folder / "data" / "media" / "upload" / str(bench.project)).iterdir():
        file.unlink()


@row("image-local-files", "image")
def a_local_file_outside_of_the_document_root(bench: Bench) -> None:
    only_task(bench, "/data/local-files/?d=nowhere/image.png")


@row("image-local-files", "image")
def a_local_file_of_no_storage(bench: Bench) -> None:
    (bench.studio.server.images / "there.png").write_bytes(b"")
    only_task(bench, "/data/local-files/?d=images/there.png")


@row("image-failed", "image")
def an_upload_that_is_no_image(bench: Bench) -> None:
    delete_tasks(bench)
    broken = bench.tmp / "broken.png"
    broken.write_text("no image")
    bench.upload(broken)


@row("no-task", "image", warns=True)
def no_task(bench: Bench) -> None:
    delete_tasks(bench)


# 7. Interactive and labeling config

KEYPOINT = '<KeyPointLabels name="kp" toName="image" {}><Label value="{}"/></KeyPointLabels>'
BRUSH = '<BrushLabels name="brush" toName="image"><Label value="{}"/></BrushLabels>'


def view(*controls: str) -> str:
    return f'<View><Image name="image" value="$image"/>{"".join(controls)}</View>'


@row("interactive-off", "interactive", mends=True)
def interactive_off(bench: Bench) -> None:
    bench.edit_record(is_interactive=False)


@row("config-no-smart", "label-config")
def no_smart_control(bench: Bench) -> None:
    bench.config(view(KEYPOINT.format("", "a"), BRUSH.format("a")))


@row("config-no-output", "label-config")
def no_brush(bench: Bench) -> None:
    bench.config(view(KEYPOINT.format('smart="true"', "a")))


@row("config-labels-differ", "label-config")
def labels_that_do_not_match(bench: Bench) -> None:
    bench.config(view(KEYPOINT.format('smart="true"', "a"), BRUSH.format("b")))


@row("config-no-image", "label-config")
def no_image(bench: Bench) -> None:
    delete_tasks(bench)
    bench.config('<View><Text name="text" value="$text"/></View>')


# 11. CUDA and checkpoint: the words are torch's and ours, the backend that says them is a stand-in


def failed(bench: Bench, reason: str) -> None:
    bench.backend.trouble.failed = reason


@row("cuda-missing", "backend")
def no_gpu_for_cuda(bench: Bench) -> None:
    failed(bench, "Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU")


@row("driver-too-old", "backend")
def an_old_driver(bench: Bench) -> None:
    failed(bench, "The NVIDIA driver on your system is too old (found version 12020).")


@row("checkpoint-missing", "backend")
def no_checkpoint(bench: Bench) -> None:
    failed(bench, "checkpoint /models/sam2.1_hiera_tiny.pt does not exist")


@row("gpu-memory", "backend")
def a_gpu_that_is_full(bench: Bench) -> None:
    failed(bench, "CUDA out of memory. Tried to allocate 256.00 MiB")


@row("backend-failed", "backend")
def another_failure(bench: Bench) -> None:
    failed(bench, "something that nobody foresaw")


# the click itself


@row("click-failed", "click")
def a_click_that_is_answered_with_no_json(bench: Bench) -> None:
    bench.backend.trouble.predict = "text"


@row("click-empty", "click", warns=True)
def a_click_without_a_mask(bench: Bench) -> None:
    bench.backend.trouble.predict = "empty"


@row("click-slow", "latency", warns=True)
def a_slow_click(bench: Bench) -> None:
    bench.backend.trouble.delay["/predict"] = 3.2


@row("no-project", "project")
def no_such_project(bench: Bench) -> None:
    bench.tell(project=424242)


@row("clock-skew", "clock", warns=True)
def a_backend_whose_clock_is_wrong(bench: Bench) -> None:
    bench.backend.trouble.date = "Thu, 01 Jan 2026 00:00:00 GMT"
