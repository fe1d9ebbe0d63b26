"""One training step under JAX: embeddings, logits, loss, gradients, update, compiled as one function of all variables."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import keras
import numpy as np
from jax import numpy as jnp

from fr_train.devices.model_parallel import lay_logits
from fr_train.step.base import Step, StepResult

__all__ = ["JaxTrainingStep"]

Array = Any
Values = list[Array]


class JaxTrainingStep(Step):
    """The step of `fr_train.step.tensorflow.TrainingStep`, with the same results, on one device or laid over several.

    Variables are where `keras.distribution` laid them when they were made. Each step takes their memory and gives it back with the
    new values in it: a value that was read from a variable before a step is gone after it, unless it was copied.

    Args:
        parts: see `Step`.
        xla: means nothing here, where everything is compiled by it.
        options: see `Step`.
    """

    def __init__(self, *parts: Any, xla: bool = True, **options: Any) -> None:
        super().__init__(*parts, **options)
        passing = [self.sample.classes, *self.sample.passing_variables] if self.sample else []
        self._variables = [*self._name_variables().values(), *passing]
        places = {id(variable): place for place, variable in enumerate(self._variables)}
        self._places = [places[id(variable)] for variable in self._trainable]
        self._figure_places = [places[id(figure)] for figure in self._figures]
        shardings = [variable.value.sharding for variable in self._variables]
        self._run = jax.jit(self._step, donate_argnums=0, out_shardings=(shardings, None))

    def __call__(self, images: Any, labels: Any, *, interrupted: bool = False) -> StepResult:
        """Does one step; see `Step`."""
        values = [variable.value for variable in self._variables]
        values, result = self._run(values, *self._place(images, labels))
        for variable, value in zip(self._variables, values, strict=True):
            variable.assign(value)
        return StepResult(result.losses, result.accuracy, result.is_finite, interrupted)

    def _place(self, *batch: Any) -> list[Any]:
        """Gives each device its part of a batch."""
        distribution = keras.distribution.distribution()
        parts = [np.asarray(part) for part in batch]
        if distribution is None:
            return parts
        return [jax.device_put(part, distribution.get_data_layout(part.shape).backend_layout) for part in parts]

    def _step(self, values: Values, images: Array, labels: Array) -> tuple[Values, StepResult]:
        columns, sample = labels, self.sample
        if sample is not None:
            columns, values = self._within(values, lambda: sample.read(labels, self.optimizer.iterations))
        trained = [values[place] for place in self._places]
        before = {place: values[place] for place in self._figure_places}
        differentiate = jax.value_and_grad(self._total_loss, has_aux=True)
        (total, (losses, accuracy, values)), gradients = differentiate(trained, values, images, labels, columns)
        is_finite = jnp.isfinite(total) & jnp.isfinite(sum(jnp.sum(jnp.square(gradient)) for gradient in gradients))
        for place in self._figure_places:
            is_finite &= jnp.all(jnp.isfinite(values[place]))
        for place, value in before.items():
            values[place] = jnp.where(is_finite, values[place], value)
        values = jax.lax.cond(is_finite, self._update, lambda values, _: values, values, gradients)
        return values, StepResult(losses, accuracy, is_finite)

    def _total_loss(
        self, trained: Values, values: Values, images: Array, labels: Array, columns: Array
    ) -> tuple[Array, tuple[Array, Array, Values]]:
        values = list(values)
        for place, value in zip(self._places, trained, strict=True):
            values[place] = value
        head = self.sample or self.head

        def compute() -> tuple[Array, ...]:
            embedding = self.network(images, training=True)
            logits = lay_logits(head(embedding)) if head is not None else None
            losses = self.loss(labels, embedding=embedding, logits=logits, columns=columns, training=True)
            return sum(self.network.losses, start=jnp.mean(losses)), losses, _accuracy(logits, columns)

        (total, losses, accuracy), values = self._within(values, compute)
        return total, (losses, accuracy, values)

    def _update(self, values: Values, gradients: Sequence[Array]) -> Values:
        def apply() -> None:
            self.optimizer.apply(gradients, self._trainable)
            if self.sample is not None:
                self.sample.write()
            if self.average is not None:
                self.average.follow()

        return self._within(values, apply)[1]

    def _within(self, values: Values, function: Callable[[], Any]) -> tuple[Any, Values]:
        """Calls a function while the variables have these values; gives its result and the values that it leaves."""
        with keras.StatelessScope(state_mapping=list(zip(self._variables, values, strict=True))) as scope:
            result = function()
        if len(scope.state_mapping) > len(self._variables):
            raise RuntimeError("a step sets a variable that is none of its own, and would forget it")
        return result, [scope.get_current_value(variable) for variable in self._variables]


def _accuracy(logits: Array | None, columns: Array) -> Array:
    if logits is None:
        return jnp.asarray(np.nan, dtype="float32")
    # By argmax, devices would exchange an array of the size of the logits.
    is_target = jnp.arange(logits.shape[1]) == columns[:, None]
    target = jnp.sum(jnp.where(is_target, logits, 0.0), axis=1)
    others = jnp.max(jnp.where(is_target, -jnp.inf, logits), axis=1)
    return jnp.mean((target > others).astype("float32"))
