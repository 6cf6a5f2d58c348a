"""An agent that works on after it has answered. While it says HealthyBusy its session is not idle, and nothing ends it."""

import threading
import time
from collections.abc import Iterator

from bedrock_agentcore import BedrockAgentCoreApp

app = BedrockAgentCoreApp()
done = "nothing"


def work(task: int, seconds: int) -> None:
    """Stands for a crawl, a training or a long chain of thought."""
    global done
    for step in range(1, seconds + 1):
        time.sleep(1)
        done = f"step {step} of {seconds}"
    app.complete_async_task(task)  # /ping says Healthy again, and the session may idle


@app.entrypoint
def invoke(payload: dict) -> Iterator[str]:
    """Starts work, or tells how far it is."""
    if seconds := payload.get("work"):
        task = app.add_async_task("work")  # from here on /ping says HealthyBusy
        threading.Thread(target=work, args=(task, seconds), daemon=True).start()
        yield f"started: {seconds} steps of a second"
    else:
        yield f"{app.get_current_ping_status().value}, {done} done"


if __name__ == "__main__":
    app.run()
