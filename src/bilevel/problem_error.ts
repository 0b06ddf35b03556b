export { ProblemError } from "../graph/problem_error.ts";
