"""What may be passed on of a request to OpenAI's chat completions, and to servers like it."""

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


class Text(Shape):
    """A part that is text."""

    type: Literal["text"]
    text: str


class Image(Shape):
    """An image's address: itself."""

    url: DataUrl
    detail: Literal["auto", "low", "high"] | None = None


class ImagePart(Shape):
    """A part that is an image."""

    type: Literal["image_url"]
    image_url: Image


Part = Annotated[Text | ImagePart, Field(discriminator="type")]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


class Told(Shape):
    """A message of the system, of its developer or of the user."""

    role: Literal["system", "developer", "user"]
    content: str | list[Part]
    name: Name | None = None


class Function(Shape):
    """A tool's name, and what it was called with."""

    name: ToolName
    arguments: str


class ToolCall(Shape):
    """A tool that the model called."""

    id: Identifier
    type: Literal["function"] = "function"
    function: Function


class Written(Shape):
    """A custom tool's name, and what the model wrote for it."""

    name: ToolName
    input: str


class CustomCall(Shape):
    """A custom tool that the model called."""

    id: Identifier
    type: Literal["custom"]
    custom: Written


class Said(Shape):
    """A message of the model."""

    role: Literal["assistant"]
    content: str | list[Text] | None = None
    name: Name | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[ToolCall | CustomCall] | None = None
    annotations: Nothing = None
    audio: Nothing = None
    function_call: Nothing = None
    provider_specific_fields: Dropped = None


class Result(Shape):
    """What came of a tool."""

    role: Literal["tool"]
    content: str | list[Text]
    tool_call_id: Identifier
    name: Name | None = None


Message = Annotated[Told | Said | Result, Field(discriminator="role")]


class Tool(Shape):
    """A tool that the agent runs itself."""

    type: Literal["function"]
    function: FunctionShape


class Grammar(Shape):
    """A grammar that a text must follow."""

    syntax: Literal["lark", "regex"]
    definition: str


class CustomFormat(Shape):
    """What the model may write for a custom tool."""

    type: Literal["text", "grammar"]
    grammar: Grammar | None = None


class CustomShape(Shape):
    """A custom tool as it is described to the model."""

    name: ToolName
    description: str | None = None
    format: CustomFormat | None = None


class CustomTool(Shape):
    """A tool that the agent runs itself, and that gets a text instead of arguments."""

    type: Literal["custom"]
    custom: CustomShape


AnyTool = Annotated[Tool | CustomTool, Field(discriminator="type")]


class Named(Shape):
    """A tool's name."""

    name: ToolName


class Choice(Shape):
    """The tool that must be called."""

    type: Literal["function"]
    function: Named


class JsonSchema(Shape):
    """The form of an answer."""

    name: ToolName
    description: str | None = None
    schema_: Annotated[Schema | None, Field(alias="schema")] = None
    strict: bool | None = None


class Format(Shape):
    """Whether the answer is text or JSON."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class Chat(Shape):
    """A request."""

    model: str
    messages: Annotated[list[Message], Field(min_length=1)]
    tools: list[AnyTool] | None = None
    tool_choice: Literal["none", "auto", "required"] | Choice | None = None
    parallel_tool_calls: bool | None = None
    temperature: Temperature | None = None
    top_p: Probability | None = None
    max_tokens: Tokens | None = None
    max_completion_tokens: Tokens | None = None
    stop: str | Annotated[list[str], Field(max_length=16)] | None = None
    n: Annotated[int, Field(ge=1, le=16)] | None = None
    seed: int | None = None
    frequency_penalty: Annotated[float, Field(ge=-2.0, le=2.0)] | None = None
    presence_penalty: Annotated[float, Field(ge=-2.0, le=2.0)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    return_token_ids: bool | None = None  # vLLM's own
    logit_bias: dict[Annotated[str, Field(pattern=r"^\d{1,9}$")], float] | None = None
    response_format: Format | None = None
    reasoning_effort: Effort | None = None
    store: Literal[False] | None = None
    metadata: Dropped = None
    prompt_cache_key: Dropped = None
    prompt_cache_retention: Dropped = None
    safety_identifier: Dropped = None
    service_tier: Dropped = None
    user: Dropped = None


def forced(request: dict[str, Any]) -> dict[str, Any]:
    """Return the request as it leaves."""
    request.pop("store", None)  # it is not kept unless it is asked for
    return request
