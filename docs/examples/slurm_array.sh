#!/bin/bash
# Validates a list of maps with the tasks of a SLURM job array; each takes its share of the list.
#
#   sbatch --array=1-100 slurm_array.sh maps.csv results
#
# A task that hits its time limit, or whose node is lost, is put in the queue again and goes on where it was. When all
# are done, this gathers the pieces into one table with one report, and does what no task has done:
#
#   cryoresdl validate maps.csv --out results --resume
#
#SBATCH --job-name=cryoresdl
#SBATCH --cpus-per-task=4
#SBATCH --mem=8G
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --output=cryoresdl-%A_%a.log
set -eu
exec cryoresdl validate "$1" --out "$2" --piece "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_MAX" \
    --workers "$SLURM_CPUS_PER_TASK" --resume --no-report
