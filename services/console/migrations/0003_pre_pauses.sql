-- Why a pause that is over was asked for, and how the resume treated what became due meanwhile; null where it was not heard.
alter table stretch add column reason text null, add column overdue text null;
