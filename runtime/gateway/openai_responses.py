"""What may be passed on of a request to OpenAI's responses."""

from typing import Annotated, Any, Literal

from pydantic import Field

from monastery.runtime.gateway.shapes import (
    DataUrl,
    Dropped,
    Effort,
    FunctionShape,
    Identifier,
    Nothing,
    Probability,
    Schema,
    Shape,
    Temperature,
    Tokens,
    ToolName,
)

Status = Literal["in_progress", "completed", "incomplete"]


class Text(Shape):
    """A part that is text for the model."""

    type: Literal["input_text"]
    text: str


class Output(Shape):
    """A part that the model wrote."""

    type: Literal["output_text"]
    text: str
    annotations: Nothing = None
    logprobs: Nothing = None


class Refusal(Shape):
    """A part in which the model declined."""

    type: Literal["refusal"]
    refusal: str


class Image(Shape):
    """A part that is an image."""

    type: Literal["input_image"]
    image_url: DataUrl
    detail: Literal["auto", "low", "high"] | None = None


Part = Annotated[Text | Output | Refusal | Image, Field(discriminator="type")]


class Message(Shape):
    """A message of anyone."""

    type: Literal["message"] = "message"
    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[Part]
    id: Identifier | None = None
    status: Status | None = None


class Call(Shape):
    """A tool that the model called."""

    type: Literal["function_call"]
    call_id: Identifier
    name: ToolName
    namespace: ToolName | None = None
    arguments: str
    id: Identifier | None = None
    status: Status | None = None


Given = str | list[Annotated[Text | Image, Field(discriminator="type")]]
"""What a tool gave."""


class Result(Shape):
    """What came of a tool."""

    type: Literal["function_call_output"]
    call_id: Identifier
    output: Given
    id: Identifier | None = None
    status: Status | None = None


class CustomCall(Shape):
    """A custom tool that the model called, and what it wrote for it."""

    type: Literal["custom_tool_call"]
    call_id: Identifier
    name: ToolName
    input: str
    id: Identifier | None = None
    status: Status | None = None


class CustomResult(Shape):
    """What came of a custom tool."""

    type: Literal["custom_tool_call_output"]
    call_id: Identifier
    output: Given
    id: Identifier | None = None


class Thought(Shape):
    """A part of the model's reasoning that it gave."""

    type: Literal["summary_text", "reasoning_text"]
    text: str


class Reasoning(Shape):
    """What the model thought, given back to it."""

    type: Literal["reasoning"]
    id: Identifier
    summary: list[Thought]
    content: list[Thought] | None = None
    encrypted_content: str | None = None
    status: Status | None = None


Item = Message | Call | Result | CustomCall | CustomResult | Reasoning


class Tool(FunctionShape):
    """A tool that the agent runs itself."""

    type: Literal["function"]


class CustomFormat(Shape):
    """What the model may write for a custom tool."""

    type: Literal["text", "grammar"]
    syntax: Literal["lark", "regex"] | None = None
    definition: str | None = None


class CustomTool(Shape):
    """A tool that the agent runs itself, and that gets a text instead of arguments."""

    type: Literal["custom"]
    name: ToolName
    description: str | None = None
    format: CustomFormat | None = None


class Namespace(Shape):
    """Tools of one origin, an MCP server in the box say; the agent runs them itself."""

    type: Literal["namespace"]
    name: ToolName
    description: str | None = None
    tools: Annotated[
        list[Annotated[Tool | CustomTool, Field(discriminator="type")]], Field(min_length=1)
    ]


AnyTool = Annotated[Tool | CustomTool | Namespace, Field(discriminator="type")]


class Choice(Shape):
    """The tool that must be called."""

    type: Literal["function"]
    name: ToolName


class Reason(Shape):
    """How much the model is to reason, and to tell of it."""

    effort: Effort | None = None
    summary: Literal["auto", "concise", "detailed"] | None = None


class Format(Shape):
    """Whether the answer is text or JSON."""

    type: Literal["text", "json_object", "json_schema"]
    name: ToolName | None = None
    description: str | None = None
    schema_: Annotated[Schema | None, Field(alias="schema")] = None
    strict: bool | None = None


class TextSettings(Shape):
    """How the answer is written."""

    format: Format | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class Responses(Shape):
    """A request."""

    model: str
    input: str | Annotated[list[Item], Field(min_length=1)]
    instructions: str | None = None
    tools: list[AnyTool] | None = None
    tool_choice: Literal["none", "auto", "required"] | Choice | None = None
    parallel_tool_calls: bool | None = None
    temperature: Temperature | None = None
    top_p: Probability | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    max_output_tokens: Tokens | None = None
    reasoning: Reason | None = None
    text: TextSettings | None = None
    include: list[Literal["reasoning.encrypted_content", "message.output_text.logprobs"]] | None = (
        None
    )
    truncation: Literal["auto", "disabled"] | None = None
    store: Literal[False] | None = None
    client_metadata: Dropped = None
    metadata: Dropped = None
    prompt_cache_key: Dropped = None
    prompt_cache_retention: Dropped = None
    safety_identifier: Dropped = None
    service_tier: Dropped = None
    user: Dropped = None


def forced(request: dict[str, Any]) -> dict[str, Any]:
    """Return the request as it leaves: the provider must not keep it, as it would by itself.

    Some servers stream these answers unless they are told not to.
    """
    return {**request, "store": False, "stream": False}
