"""Answer a question by tools that come over MCP: an agent that knows nothing of Monastery.

The official MCP client starts `monastery-mcp` as it starts any server; what that offers is handed
to the model as it is. With other servers beside it, this would be an agent as many are.
"""

import json
import sys
from typing import Any

import anyio  # type: ignore[import-not-found]  # all three are from the image, see project.yaml
from mcp.client.client import Client  # type: ignore[import-not-found]
from mcp.client.stdio import (  # type: ignore[import-not-found]
    StdioServerParameters,
    stdio_client,
)
from openai import AsyncOpenAI  # type: ignore[import-not-found]

TASK = "When do spring tides come? Look it up, and deliver answer.md by a step of the kind `file`."
MOST_TURNS = 20


async def main() -> int:
    """Let the model use its tools until it uses none; return how many steps failed."""
    model, failed = AsyncOpenAI(), 0
    server = stdio_client(StdioServerParameters(command="monastery-mcp"))
    async with Client(server) as client:
        name = (await model.models.list()).data[0].id
        tools = [as_function(tool) for tool in (await client.list_tools()).tools]
        messages: list[Any] = [{"role": "user", "content": TASK}]
        for _ in range(MOST_TURNS):
            said = await model.chat.completions.create(model=name, messages=messages, tools=tools)
            message = said.choices[0].message
            print(message.content or "", flush=True)
            messages.append(message.model_dump(exclude_none=True))
            if not message.tool_calls:
                return failed
            for call in message.tool_calls:
                told = await client.call_tool(
                    call.function.name, json.loads(call.function.arguments)
                )
                print(f"> {call.function.name}: {told.content[0].text}"[:200], flush=True)
                failed += told.is_error
                content = "\n".join(part.text for part in told.content)
                messages.append({"role": "tool", "tool_call_id": call.id, "content": content})
    return 1


def as_function(tool: Any) -> dict[str, Any]:
    """Return an MCP tool as the model's API wants a tool."""
    told = {"name": tool.name, "description": tool.description, "parameters": tool.input_schema}
    return {"type": "function", "function": told}


if __name__ == "__main__":
    sys.exit(anyio.run(main))
